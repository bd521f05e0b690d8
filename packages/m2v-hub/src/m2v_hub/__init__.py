"""Hugging Face Hub access for static embedding models.

With this package installed, `m2v_core.StaticModel.from_pretrained("org/name")` finds models on the Hub: m2v-core
asks the entry-point group `m2v.resolvers`, where `m2v_hub.resolver.resolve` is registered. `push_to_hub` publishes
them.
"""

from m2v_hub.__about__ import __version__
from m2v_hub.card.card import card_for
from m2v_hub.card.options import Result
from m2v_hub.download import download
from m2v_hub.push import Publication, push_to_hub

__all__ = ["Publication", "Result", "__version__", "card_for", "download", "push_to_hub"]

"""Hugging Face Hub access for static embedding models.

With this package installed, `m2v_core.StaticModel.from_pretrained("org/name")` finds models on the Hub: m2v-core
asks the entry-point group `m2v.resolvers`, where `m2v_hub.resolver.resolve` is registered. `push_to_hub` publishes
models, `card_for` writes their cards, and `download` fetches their files.

huggingface_hub is imported when it is first needed, so that `m2v --help` stays quick.
"""

from typing import TYPE_CHECKING

from m2v_core.lazy import lazy
from m2v_hub.__about__ import __version__

if TYPE_CHECKING:
    from m2v_hub.card.card import card_for
    from m2v_hub.card.options import Result
    from m2v_hub.fetch import download
    from m2v_hub.push import Publication, push_to_hub

__all__ = ["Publication", "Result", "__version__", "card_for", "download", "push_to_hub"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "Publication": "m2v_hub.push",
        "Result": "m2v_hub.card.options",
        "card_for": "m2v_hub.card.card",
        "download": "m2v_hub.fetch",
        "push_to_hub": "m2v_hub.push",
    },
)

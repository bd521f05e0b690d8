"""Students of a collection: a teacher's vectors of documents, and a static model that embeds queries for them."""

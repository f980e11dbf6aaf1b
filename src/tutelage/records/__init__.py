"""From files to records: texts with ids, concepts with labels, pairs, triplets, retrieval sets, splits."""

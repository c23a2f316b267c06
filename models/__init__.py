"""Everything that makes graphs: networks, data, training, export, conversion. Needs torch for most of it."""

"""``vipose bench``: time of each graph (``graphs``), of each stage (``stages``), of a whole clip with memory (``clip``)."""

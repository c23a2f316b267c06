"""Everything that turns a source into skeletons. Never imports torch or Qt."""

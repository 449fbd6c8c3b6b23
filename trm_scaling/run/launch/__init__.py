"""Starting runs elsewhere, or in several processes."""

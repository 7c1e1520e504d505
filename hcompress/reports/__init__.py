"""What a run looked like: tables, figures, and the JSON, Markdown and HTML that hold them."""

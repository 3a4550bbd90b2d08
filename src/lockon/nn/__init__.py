"""Parts that more than one paper uses."""

"""What the page can ask for: tables of method and path → function of studio and request."""

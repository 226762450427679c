"""Routes of the page: tables of method and path → handler."""

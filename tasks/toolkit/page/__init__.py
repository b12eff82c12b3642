"""What html.scrape reads pages with."""

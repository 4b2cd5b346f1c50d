"""What a report's figures/ holds: plots for the page and for a paper, and pictures that show images."""

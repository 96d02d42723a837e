"""What the integers are (golden operators), and the machinery that checks the gates against them."""

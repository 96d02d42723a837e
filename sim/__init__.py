"""What the integers are (golden operators), and what checks the gates against them."""

"""Serve the page: python -m genre.demo --help"""

from genre.commands import demo_command

if __name__ == "__main__":
    demo_command()

"""Train every combination of a grid once: python sweep.py grid=small data=synthetic"""

from genre.commands import sweep_command

if __name__ == "__main__":
    sweep_command()

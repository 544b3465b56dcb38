"""Analyse a collection before training on it: python explore.py data.root=~/music/gtzan"""

from genre.commands import explore_command

if __name__ == "__main__":
    explore_command()

"""Compute everything that training waits for, in any number of jobs: python prepare.py data.root=~/music/gtzan"""

from genre.commands import prepare_command

if __name__ == "__main__":
    prepare_command()

"""Train one model: python train.py data=synthetic"""

from genre.commands import train_command

if __name__ == "__main__":
    train_command()

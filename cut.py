"""Cut segments of music and write a catalogue: python cut.py table=songs.csv root=~/music out=data/songs"""

from genre.commands import cut_command

if __name__ == "__main__":
    cut_command()

"""Would more music help? python curve.py data=synthetic"""

from genre.commands import curve_command

if __name__ == "__main__":
    curve_command()

"""Let ``python -m flwr_vdcs`` do what ``flwr-vdcs`` does."""

from flwr_vdcs.cli import main

if __name__ == "__main__":
    main()

"""The paper's experiment on blood cell images, as a Flower app."""

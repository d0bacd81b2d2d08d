"""Small programs that keep the house: nothing here is needed to run the desk."""

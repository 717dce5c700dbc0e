"""Which slides go to train, val and test: sections known twice are found, donors kept together, proportions searched."""

"""Random deaths under load, for as long as wished: ``make chaos``. Not a part of ``make test``."""

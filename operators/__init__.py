"""The desk's knowledge as pure stream operators: no Bytewax, no Kafka, no clock, no I/O."""

"""Data: sources of scans, the HDF5 dataset, its audit, and a look at a source before it is built."""

"""Sweeps: sinter tasks in, sinter statistics out."""

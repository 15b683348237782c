"""What a run works with: processes, devices, plug-ins, progress, provenance."""

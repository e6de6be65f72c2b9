"""What a run needs of a machine, told by configs and params.yaml alone: memory and disk.

Nothing here loads a model or runs a stage; what the stages themselves do is in the other rooms.
"""

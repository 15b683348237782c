"""Controls that stand on the board beside the contenders."""

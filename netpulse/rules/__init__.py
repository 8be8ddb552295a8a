"""Pure decisions: no clock, no input or output, no await, no chance. The same in, the same out."""

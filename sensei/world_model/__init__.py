"""The recurrent state-space model of DreamerV3 and its heads."""

"""Explanations: class activation maps, overlays, occlusion, feature maps and similar cases."""

"""SKI-LVLM: skeleton-induced vision-language models for Activities of Daily Living.

Shapes in signatures use one legend throughout the package:

    B  batch                    T_v  video frames        N  tokens of one modality
    C  action classes           T_s  skeleton frames     F  width of such a token
    M  persons (1 or 2)         J    joints              K  width of the language model
    D  language width (CLIP)    L    text length         H W  pixels

Skeletons are metres in the Kinect camera frame. Videos are uint8 until a tower normalises them. A person who is absent
from a skeleton is NaN until an encoder masks it, and never zeros.
"""

"""TSRNet: action recognition and localisation in untrimmed videos from video-level labels."""

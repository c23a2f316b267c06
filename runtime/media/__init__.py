"""Pictures in and out: files, picture folders, cameras and streams in; H.264 video with the original sound out."""

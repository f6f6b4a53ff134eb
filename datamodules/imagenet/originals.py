"""Where the published photographs may be: in the official archives, or in a folder tree."""

from datamodules.imagenet.folder_tree import Tree
from datamodules.imagenet.official_archives import Archives

__all__ = ["Archives", "Published", "Tree"]

Published = Archives | Tree

"""Where the published photographs may be: in the official archives, or in a folder tree."""

from datamodules.imagenet.preparation.folder_tree import Tree
from datamodules.imagenet.preparation.official_archives import Archives

__all__ = ["Archives", "Published", "Tree"]

Published = Archives | Tree

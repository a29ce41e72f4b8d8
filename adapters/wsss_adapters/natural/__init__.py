"""Natural images: Pascal VOC, MS COCO, ADE20K, and folders of pictures."""

"""What people read: sentences, tables, charts, the page, figures, cards, the diff of two variants.

It tells what metrics/ and plots/ hold; no figure is first computed here.
"""

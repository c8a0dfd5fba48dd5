# one block a tool

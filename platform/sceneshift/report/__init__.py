"""What people look at: pictures, class maps, tables."""

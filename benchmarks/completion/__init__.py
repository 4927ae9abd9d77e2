"""Completion measured on rendered rooms with exact truth."""

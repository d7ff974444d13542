"""Tests of the blood cell experiment."""

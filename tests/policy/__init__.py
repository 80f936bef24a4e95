"""Tests of the policies and of the policy gate."""

"""How well actions are recognised: tables and pictures."""

"""End users of an account: their budgets, what they are billed, and what the developer notes of them."""


def end_user_row_id(account_id: str, end_user_id: str) -> str:
    """The row's id. Account ids hold no slash, so no two end users share one."""
    return f"{account_id}/{end_user_id}"

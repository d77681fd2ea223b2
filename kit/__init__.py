"""What every package needs: database, ids, clock, money, errors, paging, safe outbound HTTP."""

"""The forecasting engines behind one small protocol, and the backtest that judges them.

Nothing here knows of Kedro: frames in, frames out.
"""

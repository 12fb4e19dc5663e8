"""What mlship keeps and runs in AWS. The only room that imports boto3, and only when it is used."""

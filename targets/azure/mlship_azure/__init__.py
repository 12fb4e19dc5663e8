"""What mlship keeps and runs in Azure. The only room that imports azure-*, and only when it is used."""
